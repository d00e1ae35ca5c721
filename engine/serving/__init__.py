"""Argo Server's HTTP API, as far as it means something without a cluster, over an engine and its store."""
