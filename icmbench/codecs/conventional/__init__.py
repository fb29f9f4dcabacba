"""Image formats through the libraries that implement them."""
