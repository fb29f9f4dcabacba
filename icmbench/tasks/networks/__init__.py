"""Networks written out or trained here; not read with the configuration, torch is slow."""
