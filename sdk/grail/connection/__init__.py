"""The running network as plain Python objects: connect, wallets, pools, receipts."""
