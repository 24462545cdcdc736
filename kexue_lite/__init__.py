"""The package under the book: a ground floor that every chapter uses and one room for each chapter.

Ground floor: `device` (where tensors live, seeds, the scale dial), `data` (data sets), `claims` (checked
statements), `plotting` (figures), `training` (one training loop).
Rooms: `extrema` (chapter 1), `embeddings` (chapter 4), `gradients` (chapter 5).

Importing the package imports no room, opens no connection and writes no file.
"""

__version__ = "0.1.0"
