"""effwb: how few tokens does a reasoning model need to be right, and which training makes it need fewer?"""

__version__ = "0.1.0"
