"""Documents of a Nitro security module: what one says, and whether it holds."""
