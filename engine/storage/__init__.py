"""What survives the process: the Store protocol, a file of SQLite's behind it, and a store that is memory alone."""
