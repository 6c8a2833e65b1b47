"""Notifications: messages made of job events, and sent by webhook or e-mail.

`fan_out` is a cursor over the events; it adds rows. `deliverer` sends the rows that are due, each
by the sender of its channel. Only the process that holds the controller lease does either.
"""
