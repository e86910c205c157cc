"""Versioned surrogates: the store on disk, the hub that names the current one, and clients."""
