"""Results of a study: one file of numbers, tables, figures, pictures and a self-contained page."""

from umbel.report.answer_sheet import draw_answers
from umbel.report.boxes import DetectionRow, draw_boxes, draw_detection_sheet
from umbel.report.charts import Chart, Series, chart_series
from umbel.report.claims import NOT_SHOWN, REFUTED, SHOWN, Claim, count_states
from umbel.report.combine import write_combined
from umbel.report.environment import describe_environment
from umbel.report.image_grid import draw_image_grid, psnr_captions
from umbel.report.page import write_page
from umbel.report.pictures import draw_samples
from umbel.report.records import (
    Conflict,
    Curve,
    DataInfo,
    Listing,
    Matrix,
    MethodInfo,
    Profile,
    Run,
    SampleSheet,
    TaskInfo,
)
from umbel.report.results import SCHEMA, Results
from umbel.report.summary import Estimate, Row, delta_m, summary
from umbel.report.tables import claims_list, csv_table, main_table, markdown_report, print_report

__all__ = [
    "NOT_SHOWN",
    "REFUTED",
    "SCHEMA",
    "SHOWN",
    "Chart",
    "Claim",
    "Conflict",
    "Curve",
    "DataInfo",
    "DetectionRow",
    "Estimate",
    "Listing",
    "Matrix",
    "MethodInfo",
    "Profile",
    "Results",
    "Row",
    "Run",
    "SampleSheet",
    "Series",
    "TaskInfo",
    "chart_series",
    "claims_list",
    "count_states",
    "csv_table",
    "delta_m",
    "describe_environment",
    "draw_answers",
    "draw_boxes",
    "draw_detection_sheet",
    "draw_image_grid",
    "draw_samples",
    "main_table",
    "markdown_report",
    "print_report",
    "psnr_captions",
    "summary",
    "write_combined",
    "write_page",
]
