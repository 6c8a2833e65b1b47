"""Signing in and out: what a browser gets a session for, and loses it by."""
