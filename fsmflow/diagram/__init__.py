"""Machines as pictures: where each entity may go, where one is, and the way that it came."""

from fsmflow.diagram.account import Row, rows
from fsmflow.diagram.chart import Chart, chart
from fsmflow.diagram.outline import outline
from fsmflow.diagram.overlay import Journey, Tally, moves_of
from fsmflow.diagram.picture import svg
from fsmflow.diagram.scxml import scxml
from fsmflow.diagram.statediagram import mermaid

__all__ = ["Chart", "Journey", "Row", "Tally", "chart", "mermaid", "moves_of", "outline", "rows", "scxml", "svg"]
