"""The RTP side of `flexml load`: a process that speaks and listens for many callers, and measures what it hears."""
