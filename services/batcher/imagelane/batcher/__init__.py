"""Holds each customer's window of ready images and asks for the next call."""
