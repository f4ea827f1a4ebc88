"""Rendered cell towers for the quick start and the tests: seed in, photos, boxes and clips out.

camera + weather + land + scenery + tower ──scene──▶ picture and tight box ──dataset, clips──▶ files
"""
