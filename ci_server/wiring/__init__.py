"""Which classes are behind the ports, and how the services are made of them."""
