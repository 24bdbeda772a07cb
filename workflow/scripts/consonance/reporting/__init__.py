"""What a run says about itself: summary, methods, provenance, and tables for the report.

Import the module that is needed (`from consonance.reporting import provenance`), so that a change
in one reruns only what uses it.
"""
