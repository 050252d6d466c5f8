"""Reading pictures: layouts, pairing, transforms, derived pairs and the synthetic set. Imported as `translate.datasets`."""
