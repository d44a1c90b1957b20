"""Statements, verdicts, verification, its record, report and figures."""
