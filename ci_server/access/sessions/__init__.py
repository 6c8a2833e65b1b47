"""Browser sessions: their cookies, how long they last, and which pages may use them."""
