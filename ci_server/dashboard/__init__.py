"""The dashboard: pages for browsers at `/ui/`.

The pages have no data of their own. Each is a few lines of HTML that load modules from `static/`,
which ask the HTTP API like any other client, so that one policy table decides what is shown. The
modules of a page are joined when the server starts: it serves them as they were then.

In `static/`, `pages/` has a module and a style sheet for each page, `job/`, `log/` and `models/`
have the parts of pages, and `lib/` has what they share. `vendor/` is copied from npm.
"""
