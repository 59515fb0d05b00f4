"""Pictures from their source to a batch with holes."""
