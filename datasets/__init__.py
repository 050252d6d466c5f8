"""Pictures: layouts, pairing, transforms, derived pairs, the synthetic set. Imported as `translate.datasets`."""
