"""Spells, and when they are correct."""
