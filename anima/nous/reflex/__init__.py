"""The `reflex` model: answers by fixed rules, needs no key and no network, and says so."""
