"""Who changed what: the calls to plugins and what came of them, written down, told and asked again."""
