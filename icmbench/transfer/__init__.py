"""Remote decoding: pack streams and models, decode on another machine, compare the results."""
