"""Where sessions are kept: the contract (`base`) and one module for each backend."""
