"""Reading and writing of image files: PNG, JPEG, deep formats, colour, metadata, transparency."""
