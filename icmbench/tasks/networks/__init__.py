"""Networks written out here, for weights that come without a library to build them."""
