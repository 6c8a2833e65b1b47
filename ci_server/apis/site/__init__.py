"""What browsers are shown: the start page, a static site of the operator's, and the API's page.

All of it is for everybody, and none of it knows anything about jobs.
"""
