"""Write the page of a project, `report.html`, from its summary and its networks."""

from __future__ import annotations

from toolflow.flow.project import Project
from toolflow.plan.schedule.schedule import schedule_of
from toolflow.report.page.network import network_nodes
from toolflow.report.page.page import PAGE, write_page
from toolflow.report.summary import Summary


def write_project_page(project: Project, summary: Summary) -> None:
    """Write `report.html` into a project's folder.

    Args:
        project: the project.
        summary: its figures.

    Raises:
        ToolflowError: the page cannot be written.
    """
    networks = {}
    for name, planned in project.plan.units.items():
        graph = project.graph(planned.graph)
        networks[name] = network_nodes(graph, schedule_of(graph, project.plan.seen(name)).steps)
    write_page(summary, networks, project.board.flow, project.folder / PAGE)
