"""The HTTP side: public images of a directory store, and the webhook receiver."""
