"""Tokens and pools as their users see them: amounts, quotes, and the drafts that move them."""
