"""The limiter against every kind of server, beside the limiters of other libraries, on a virtual clock."""
