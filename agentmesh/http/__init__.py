"""HTTP/1.1 as servers of this project speak it: ASGI applications over bounded connections, in a loop of their own."""
