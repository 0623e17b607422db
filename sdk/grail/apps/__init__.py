"""zk-apps: circuits over charms."""
