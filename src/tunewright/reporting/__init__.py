"""One HTML file that a manager can read and an engineer can trust.

    run folder --loading--> RunFiles --results, answers, quotes, course, provenance--> views --template--> report.html
                                              charts, distributions, svg, formatting

What differs from task to task stands in `tasks`: a section that a task does not have is absent, not empty.

The file opens offline, runs no script and loads nothing. Texts of the data are hostile until escaped: every value goes
through Jinja's autoescape or `svg.element`, and a content security policy in the file forbids everything but its own
style. The same run folder gives the same bytes. This package computes no statistics and imports neither torch nor
scikit-learn.
"""

from tunewright.reporting.page import LIMIT, compose, render

__all__ = ["LIMIT", "compose", "render"]
