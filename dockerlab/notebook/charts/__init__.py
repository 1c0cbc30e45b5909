"""DataFrame or report in, matplotlib Figure out; nothing here talks to an engine."""
