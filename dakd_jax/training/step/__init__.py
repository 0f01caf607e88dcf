"""One iteration of training.

options.py     what shapes it
passes.py      the loss of a pass: student, teacher, loss terms and what methods add
strips.py      loss terms on strips of rows, one after another
train_step.py  gradients of all passes, and what steps
step_setup.py  what it asks of the data, its first state, a trial of it
"""
