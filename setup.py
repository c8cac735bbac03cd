"""All package metadata of tfgan_ema."""

from pathlib import Path

from setuptools import find_packages, setup

METRICS = ["POT>=0.9.4"]
LAB = [
    "jinja2>=3.1",
    "markupsafe>=2.1",
    "matplotlib>=3.8",
    "pyyaml>=6.0",
    "scikit-learn>=1.4",  # the bundled digits
    "scipy>=1.11",
    *METRICS,
]
JAX = ["jax>=0.10"]
ONNX = ["onnx>=1.16", "onnxruntime>=1.20", "tf2onnx>=1.17"]
HUB = ["huggingface_hub>=0.30"]
LITERT = ["ai-edge-litert>=2.0"]
OPENVINO = ["openvino>=2025.0"]
CLUSTER = ["pyarrow>=15.0", "ray>=2.40"]
SERVING = ["grpcio>=1.60", "tensorflow-serving-api>=2.19"]
SERVE = [
    "aiohttp>=3.9",
    "grpcio-health-checking>=1.60",
    "orjson>=3.10",
    "prometheus-client>=0.20",
    *SERVING,
]
DOCS = [
    "ipykernel>=6.29",
    "jupytext>=1.16",
    "mkdocs-material>=9.6",
    "mkdocs>=1.6",
    "mkdocstrings[python]>=0.29",
    "nbclient>=0.10",
]
TEST = [
    "hypothesis>=6.100",
    "mpmath>=1.3",
    "playwright>=1.49",  # drives the system's Chromium
    "pytest>=8.0",
    "pytest-xdist>=3.5",
    *HUB,
    *JAX,
    *LAB,
    *LITERT,
    *ONNX,
    *OPENVINO,
    *SERVE,
]

setup(
    name="tfgan_ema",
    version="0.2.0",
    description="GANs with averaged generators, for TensorFlow and Keras 3",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=["tfgan_ema*", "zoo*", "configs*"]),
    package_data={
        "tfgan_ema": ["py.typed", "metrics/*.npz", "lab/reports/templates/*"],
        "zoo": ["exports/**/*"],
    },
    # What training, sampling and export need.
    install_requires=[
        "absl-py>=2.1",
        "importlib_resources",  # TensorFlow Datasets needs it and does not say so
        "keras>=3.12",
        "ml-collections>=1.0",
        "ml_dtypes>=0.5",
        "numpy>=1.26",
        "pillow>=10.0",
        "tensorboard>=2.16",
        "tensorflow>=2.20",
        "tensorflow-datasets>=4.9.6",
        "tensorflow-gan==2.1.0",
        "tqdm>=4.66",
    ],
    extras_require={
        "metrics": METRICS,  # Wasserstein distances; every other score needs nothing more
        "lab": LAB,  # experiments, reports, the gallery, cards
        "cluster": CLUSTER,  # --cluster: experiments, samples and scores on many machines
        "jax": JAX,  # the other backend
        "hub": HUB,  # `tfgan-ema zoo push` and `pull`
        "litert": LITERT,  # formats of `tfgan-ema export`
        "onnx": ONNX,
        "openvino": OPENVINO,
        "test": TEST,
        "docs": DOCS,  # `make docs`
        "dev": [
            *TEST,
            *DOCS,
            "build>=1.2",
            "import-linter>=2.5",
            "pre-commit>=4.0",
            "ruff>=0.6",
            "twine>=6.0",
        ],
        "serve": SERVE,  # `tfgan-ema serve`
        "serving": SERVING,  # the gRPC client of docs/serving.md
        "peers": ["prdc", "pytorch-fid", "torch", "torch-fidelity"],
    },
    entry_points={"console_scripts": ["tfgan-ema = tfgan_ema.cli.main:main"]},
    classifiers=[
        "Intended Audience :: Science/Research",
        "Intended Audience :: Developers",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
