"""The classroom: assignments that grade themselves, the grader, and a class to try it with.

``python -m classroom --help`` lists the commands; the teacher's guide of the book tells how they are used.
"""
