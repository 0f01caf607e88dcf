"""Audits a dataset before step 0: python -m data_pipelines.doctor --dataset=gta5 --source=DIR

inventory.py    all files of a split, complete or not
measuring.py    looks into a pair and keeps what the checks want to know; label_kinds.py
checks/         one file for each check: from a split's facts to an Outcome
auditing.py     runs them all; quick.py: the look that run.py takes
console.py page.py contact_sheet.py histogram_plot.py as_json.py     what it says
"""
