"""Builders, fakes and waits that several tests share."""
