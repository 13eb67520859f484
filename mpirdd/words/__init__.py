"""The words that every layer shares: ids, messages, protocols, settings, errors. No behaviour lives here."""
