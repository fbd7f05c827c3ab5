"""The report page: what a run, a suite or a session of pytest was like, as one file of HTML that needs no network.

collector.py   hears a machine while it runs, in bounded memory; what it has heard is made into facts at the end
facts.py       what a page says of one machine: plain data, which travels between processes as JSON
page.py        facts to HTML, by Jinja2 and the template beside it; charts.py has the figures, by plotly
"""
