#!/bin/sh
echo "starting the counter"
python service.py
