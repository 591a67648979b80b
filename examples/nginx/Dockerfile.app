ARG PYTHON_IMAGE=python:3.13-slim
FROM ${PYTHON_IMAGE}
COPY app.py /app.py
USER 10002:10002
EXPOSE 8000
CMD ["python3", "-u", "/app.py"]
