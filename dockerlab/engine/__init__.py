"""The reader's Docker Engine: find it, connect, say whose a thing on it is, install one."""
