"""One experiment a file: ``get_config()`` returns its `ml_collections.ConfigDict`."""
