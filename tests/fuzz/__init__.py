"""Hostile bytes: one table of targets, run by atheris, by libFuzzer, and plainly in the tests.

target.py        what a target is, and when an execution is a finding
*_targets.py     the decoders and endpoints, by who reads the bytes
table.py         all targets by name
mutation.py      plain mutations of seeds, for the tests that have no fuzzer
one.py           a process of its own that fuzzes one target with atheris
native.py        the crate's own fuzzers, built and run
campaign.py      all of them, and the table of what came out
saved/           inputs that were findings once, each made here; the tests run them again
"""
