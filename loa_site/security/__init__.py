"""What a browser is told about this site, and what it tells back: content security policy, headers, reports."""
