"""The web console of `dbgate serve`: where people decide requests and watch recordings, in a browser.

Decides nothing: every approval runs through the same service methods as the API's. It knows the approvals
service and the archive of transcripts, and neither databases nor policies. Everything that it shows goes
through `rendering`, which escapes markup and makes control and direction marks visible.

    app.py          routes, and what every page has in common: who, from where, how often
    headers.py      what browsers are told with every answer, and which host names count
    visits.py       sign-ins of browsers, on the server's side; one-time links
    issuer.py       sign-in by the OpenID provider; sign_in.py its pages
    lists.py, request_pages.py, recordings.py     the pages
    stream.py       tells open pages that something happened
"""

from __future__ import annotations
